"""The HTTP API that predicts with the registered champion."""
