"""`fab deploy`: Capistrano's flow as data (`flow`), the hooks around its stages (`hooks`), and what carries it out."""
