"""Workers in processes of their own: the machinery of the executor `local`."""
