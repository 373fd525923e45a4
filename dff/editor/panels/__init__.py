"""What a person touches: each panel shows a part of the session and asks for changes of it."""
