"""A stand-in for Kingdee K/3 Cloud (金蝶云星空): its WebAPI, its stock books and the ways it fails."""
