"""Generated scenes and pictures: ray-cast table-tops with known geometry and labels."""
