"""Starting and watching child processes. No torch here."""
