"""What may stand on the command line: a module a group, a few lines a command, which ask the room that knows."""
