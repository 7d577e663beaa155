"""What each kernel means: plain integers, clear first. Every name here has a compiled twin in `fast`."""
