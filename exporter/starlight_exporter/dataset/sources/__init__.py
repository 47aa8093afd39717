"""Sources of images: folders, tar and Parquet shards, and object stores."""
