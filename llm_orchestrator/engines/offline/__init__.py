"""The responder that needs no network, no key and no model: rules over the words it hears.

It answers greetings, the time and the date, and arithmetic; it calls the tools it is
offered; it says back everything else, and says what it is when asked. It does not follow
instructions and does not know anything. Answers are made to be spoken: numbers in words.

    responder   what to answer: the order of the rules
    engine      the port around it: streams the answer word by word

Below them, with no knowledge of each other's rules: words, numbers and places read and
write parts of sentences; smalltalk, clock and arithmetic answer; matching chooses a tool,
arguments and phrases fill it, results says what it returned.
"""
