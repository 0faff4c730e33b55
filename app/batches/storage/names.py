"""What is where in a storage. A name is a folder and a name in it; on a disk they are just that."""

from __future__ import annotations

#: of a file's id: an upload, or a batch's output or error file
stored_file = "files/{}".format
#: before a file's id: nobody knows whether Redis knows of it
DOUBT = "files/.doubt-"

# Of a batch's id:
#: its own copy of the file that it was made of, and where each line of that is (`app.batches.lines`)
batch_input = "{}/input".format
line_index = "{}/lines".format
#: names of the same in an earlier batch, and of its output, while answers are copied from there (`app.batches.since`)
since_input = "{}/since-input".format
since_index = "{}/since-lines".format
since_output = "{}/since-output".format
OF_SINCE = (since_input, since_index, since_output)
#: the faults that validation found
faults = "{}/faults.jsonl".format
#: of the batch's and a part's id: a part's body, which is to be sent; what became of its lines before that; and of all of them in the end
part_body = "{}/part-{}.body".format
part_refused = "{}/part-{}.refused".format
part_answers = "{}/part-{}.answers".format
OF_A_PART = (part_body, part_refused, part_answers)
#: what is known of each line that has ended, and what went on around the batch (`app.batches.report`)
line_stats = "{}/facts".format
conditions = "{}/surroundings.json".format
