//! Tells when files are replaced: an editor's rename, a ConfigMap's symlink swap.
