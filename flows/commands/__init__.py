"""The commands of `conceptbooth`: a module for each panel of its help; large imports stand inside the functions."""
