"""What an operator meets: settings, key files, the console, the log of the process, `broker dev`."""
