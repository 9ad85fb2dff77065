"""Messages no Celery would send, from a seeded generator, and the application that has to live with them."""
