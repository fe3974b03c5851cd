"""Whether memory and cost per packet stay what they are: a simulated day at speed, and the live sensor."""
