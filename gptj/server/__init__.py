"""A small model server for GPT-J checkpoints in CTranslate2's format, in the Hugging Face text-generation protocol."""
