"""One small module per feed of leader actions; a source parses and puts, nothing more."""
