print("pinlab")
