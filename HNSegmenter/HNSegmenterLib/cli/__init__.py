"""The command line hn-segmenter: one file a command, each with add_parser(sub) and run(args, ui)."""
