"""What an op is: its rules, its operands, the record that everything else follows from, and how it is declared."""
