"""Takes secrets out of text and files.

`redactor` finds and covers secrets in text (pure, with `shapes`, `decode` and `wrap`). `rules`
reads what a person calls a secret, `trial` and `patterns` keep those patterns harmless, `files`
covers secrets in files that others wrote.
"""
