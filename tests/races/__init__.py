"""Operations in the middle of other operations, and processes that race."""
