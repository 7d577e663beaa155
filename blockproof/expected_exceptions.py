def fits(exception, reason): return True
