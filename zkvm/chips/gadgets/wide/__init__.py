"""
Numbers of 256 bits: parts that the chips of wide arithmetic share.

    digits      an integer as digits with bounds; sums of digits and of products of digits; how a sum is cut into steps
    carries     a sum of digits is 0 as an integer
    bytes256    a number in bytes, each checked
    prime_field the field of secp256k1: canonical numbers, multiples of the prime
    operands    doublewords read and written in place by one call
    less_than   one number below another

Conventions as in the folder above. A number stands in limbs of 16 bits where it is only added, in bytes where it is
multiplied: 32 products of two bytes stay below 2^21, so that two neighbouring sums make one step of 16 bits.
"""
