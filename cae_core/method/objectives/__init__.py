"""What the search minimises: functions of the models' logits, with their gradients; `table` names them all."""
