"""What runs beside requests.

backup  copying all that a registry has into a folder, and back
"""
