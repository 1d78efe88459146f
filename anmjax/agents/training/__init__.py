"""What a training of any algorithm needs on the host: its folder, its files, and how it is stopped."""
