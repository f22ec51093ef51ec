"""The method (Equations 1 to 5, Algorithm 1): conferrability, objectives, softmax, dropout, ball, Adam, CAEAcc."""
