"""Purchasing: which levels have fallen below their safety stock, and whom to buy from."""
