"""The fingerprint file, its kinds of images, the questions that are asked, and the answers that count."""
