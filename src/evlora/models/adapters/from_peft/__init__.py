"""Methods that peft has: a file each, or a folder, which exports `METHOD`."""
