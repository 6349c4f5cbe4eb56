"""Many runs at once: composed and checked before the first, run somewhere, none lost, ranked at the end."""
