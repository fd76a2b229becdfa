"""Policies of images: what each of their words decides, at each bound; what a file may say; each mistake is named."""
