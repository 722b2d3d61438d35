"""The storefront adapter: one view of stock for the online shop and every store, as an API and a staff page."""
