"""The NOTICE beside the pack: whose voices and instruments these are, and their licences."""

from __future__ import annotations

from pathlib import Path

HEAD = """\
THE SAMPLE PACK OF "UNMIXING SOUND"

Made by data_scripts/make_pack.py. The sentences, lyrics, melodies and arrangements are the course's
own. Noises other than babble and cafe, and the room responses, are made by code alone and given to
the public domain (CC0 1.0). The rest comes out of the programs, voices and instruments below, under
their terms. Nobody named here endorses the course.

MODIFIED: all speech and singing was re-synthesised with WORLD (Morise, Yokomori and Ozawa 2016):
pitch, formants, breath, tempo and level differ from the original voices; pauses were shortened.
Babble and cafe noise are sums of that speech. Instruments were mixed, panned and reverberated.

Voices kal16, rms, slt and awb: flite, Carnegie Mellon University (Alan W Black, Kevin Lenzo, David
  Huggins-Daines and others). Licence 1, CMU.
Voice ked: festvox-kdlpc16k, Centre for Speech Technology Research, University of Edinburgh.
  Licence 1, EDINBURGH. Spoken by festival, same holder and licence.
Voice slt_hts (singing only): festvox-us-slt-hts, Carnegie Mellon University, Nagoya Institute of
  Technology, Tokyo Institute of Technology. Licences 2 and 3. slt_hts and slt are one person.
Instruments: Fluid R3 soundfont, Frank Wen and contributors. Licence 4.
"""

CMU_TERMS = """\
Permission is hereby granted, free of charge, to use and distribute this software and its
documentation without restriction, including without limitation the rights to use, copy, modify,
merge, publish, distribute, sublicense, and/or sell copies of this work, and to permit persons to
whom this work is furnished to do so, subject to the following conditions:
 1. The code must retain the above copyright notice, this list of conditions and the following
    disclaimer.
 2. Any modifications must be clearly marked as such.
 3. Original authors' names are not deleted.
 4. The authors' names are not used to endorse or promote products derived from this software
    without specific prior written permission.

{holders} DISCLAIM ALL WARRANTIES WITH REGARD TO THIS
SOFTWARE, INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS, IN NO EVENT SHALL
{liable} BE LIABLE FOR ANY SPECIAL, INDIRECT OR
CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER
IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH
THE USE OR PERFORMANCE OF THIS SOFTWARE.
"""

CMU = """\
LICENCE 1, CMU (flite and its voices)

Copyright (c) 1999-2001 Language Technologies Institute, Carnegie Mellon University. All Rights
Reserved. Parts: Copyright (c) 1998-2001 Carnegie Mellon University and Centre for Speech Technology
Research, University of Edinburgh, UK; Copyright (c) 2001 Cepstral, LLC. All Rights Reserved.

""" + CMU_TERMS.format(
    holders="CARNEGIE MELLON UNIVERSITY AND THE CONTRIBUTORS TO THIS WORK",
    liable="CARNEGIE MELLON UNIVERSITY NOR THE CONTRIBUTORS",
)

EDINBURGH = """\
LICENCE 1, EDINBURGH (festival and the voice ked)

Centre for Speech Technology Research, University of Edinburgh, UK. Copyright (c) 1996-2017; of the
voice: 1997. All Rights Reserved.

""" + CMU_TERMS.format(
    holders="THE UNIVERSITY OF EDINBURGH AND THE CONTRIBUTORS TO THIS WORK",
    liable="THE UNIVERSITY OF EDINBURGH NOR THE CONTRIBUTORS",
)

EST_2003 = """\
LICENCE 2, EST-2003 (slt_hts: the voice's models)

Copyright 2003 Carnegie Mellon University. All Rights Reserved. Other files of the voice, Copyright
1998-2000 Carnegie Mellon University, Alan W Black, Kevin Lenzo; 2002 Nagoya Institute of
Technology, Carnegie Mellon University: under the terms of licence 1.

Permission to use, copy, modify, and licence this software and its documentation for any purpose, is
hereby granted without fee, subject to the following conditions:
 1. The code must retain the above copyright notice, this list of conditions and the following
    disclaimer.
 2. Any modifications must be clearly marked as such.
 3. Original authors' names are not deleted.

THE AUTHORS OF THIS WORK DISCLAIM ALL WARRANTIES WITH REGARD TO THIS SOFTWARE, INCLUDING ALL IMPLIED
WARRANTIES OF MERCHANTABILITY AND FITNESS, IN NO EVENT SHALL THE AUTHORS BE LIABLE FOR ANY SPECIAL,
INDIRECT OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR
PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN
CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.
"""

BSD = """\
LICENCE 3, BSD-3-Clause (slt_hts: feature list)

Copyright 2001-2010 Nagoya Institute of Technology, Department of Computer Science; 2001-2008 Tokyo
Institute of Technology, Interdisciplinary Graduate School of Science and Engineering. All rights
reserved.

Redistribution and use in source and binary forms, with or without modification, are permitted
provided that the following conditions are met:
 - Redistributions of source code must retain the above copyright notice, this list of conditions
   and the following disclaimer.
 - Redistributions in binary form must reproduce the above copyright notice, this list of conditions
   and the following disclaimer in the documentation and/or other materials provided with the
   distribution.
 - Neither the name of the HTS working group nor the names of its contributors may be used to
   endorse or promote products derived from this software without specific prior written permission.

THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS" AND ANY EXPRESS OR
IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND
FITNESS FOR A PARTICULAR PURPOSE ARE DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT OWNER OR
CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL
DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE,
DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER
IN CONTRACT, STRICT LIABILITY, OR TORT (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF
THE USE OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.
"""

MIT = """\
LICENCE 4, MIT (Fluid R3 soundfont)

Copyright (c) 2000-2002, 2008 Frank Wen <getfrank@gmail.com>; 2008 Toby Smithe. Contributors: Suren
M. Seron, Scott Hanan, Steve Aupperle, Chris Gillman, Alex Taubr, Chris Prola, Andrew Klenk,
Winfried Hubbe, Dylan, Tim, Gort, Uros Katic, Ethan Winer (http://www.ethanwiner.com).

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial
portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES
OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def write_notice(folder: Path) -> None:
    """Write ``NOTICE`` into the pack."""
    text = ("\n" + "-" * 100 + "\n\n").join((HEAD, CMU, EDINBURGH, EST_2003, BSD, MIT))
    (folder / "NOTICE").write_text(text, encoding="utf-8", newline="\n")
