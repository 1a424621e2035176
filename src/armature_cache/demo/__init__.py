"""`python -m armature_cache.demo`: the guide's example under load, in several processes."""
