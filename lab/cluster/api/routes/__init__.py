"""HTTP: from requests to the rooms that answer them."""
