"""Messages of Kafka's protocol that kafka-python 3.0.12 does not know, in the form in which it reads its own."""
