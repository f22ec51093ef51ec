"""What a suspect's owner may put between his model and whoever asks it, as wrappers around any `Model`.

They are simulations: what would be if the suspect did so. `defended` in `table` makes one of its name, such as
``"jpeg:75"``; `table.DEFENCES` lists them.
"""
