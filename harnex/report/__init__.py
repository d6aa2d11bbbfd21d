"""The page of `harnex report`. Pure: takes records, returns HTML. Every text is escaped."""
