"""The page of `harnex report`. Pure: records in, HTML out; everything is escaped."""
