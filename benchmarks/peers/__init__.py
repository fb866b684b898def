"""The same work through sftbench and through its peers, in one run, round by round."""
