"""Other people's contracts over our services: OpenID AuthZEN, and the OAuth RFCs that are not about logging in."""
