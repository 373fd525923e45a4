"""The editor: a viser application, thin panels over what scripts can call too.

`session` is what is being worked on, `painting` what it looks like from somewhere, `panels` what a
person touches, `app` puts them together. Only `compat` knows how versions of viser differ.
"""
