"""What the scripts and the console command do, one typed function each; their arguments are the flags."""
