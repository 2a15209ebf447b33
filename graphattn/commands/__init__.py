"""What each command does: parse, call, print. One file a command, imported when it is called."""
