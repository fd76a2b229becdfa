"""The rules of the registry, without HTTP: content, tags, history, deletion and repair."""
