"""How bytes reach the app: listeners, threads and Envoy. The only package that knows the server library."""
