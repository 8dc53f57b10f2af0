"""What is written about the command line elsewhere: man pages and shell completions, made from the parsers themselves."""
