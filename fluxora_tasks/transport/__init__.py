"""How messages travel: what RabbitMQ and Redis do not do by themselves."""
