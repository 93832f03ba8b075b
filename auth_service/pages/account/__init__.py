"""The viewer's account in a browser: pages over the services that the API has, with no rule of their own."""
