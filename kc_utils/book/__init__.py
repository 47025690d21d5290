"""The book of a run: generated parts, exercises, the build, and the folder for participants."""
