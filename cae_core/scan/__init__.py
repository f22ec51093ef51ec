"""Many suspects by one fingerprint: the list, its family, a line for each as it is judged, and the table at the end."""
